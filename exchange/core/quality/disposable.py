"""Mail domains that give an address to anybody for a few minutes.

Facts, as of November 2026: well-known services, each also on the public disposable-email-domains
list of that month. Such domains come and go; an operator adds to them with a file
(``quality.disposable_domains_file``).
"""

from __future__ import annotations

from typing import Final

_DOMAINS: Final = """
10mail.org 10minutemail.be 10minutemail.co.uk 10minutemail.com 10minutemail.de 10minutemail.net
1secmail.com 1secmail.net 1secmail.org 20minutemail.com 20minutemail.it 30minutemail.com
60minutemail.com anonbox.net anonymail.dk anonymbox.com antispam.de antispam24.de antispammail.de
any.pink armyspy.com beefmilk.com bigstring.com binkmail.com bobmail.info bofthew.com boun.cr
bouncr.com boxformail.in breakthru.com brefmail.com broadbandninja.com bsnow.net bspamfree.org
bugmenot.com bumpymail.com burnthespam.info byom.de casualdx.com centermail.com chammy.info
chitthi.in choicemail1.com clixser.com cmail.net consumerriot.com courriel.fr.nf crazymailing.com
cs.email curryworld.de cust.in cuvox.de dacoolest.com dandikmail.com dayrep.com deadaddress.com
deadfake.cf deadspam.com despam.it despammed.com devnullmail.com digitalsanctuary.com
discard.email discardmail.com discardmail.de disposable-email.ml disposableaddress.com
disposableemailaddresses.com disposableinbox.com dispose.it disposeamail.com disposemail.com
dispostable.com dodgeit.com dodgemail.de dodgit.com dodgit.org dontreg.com dontsendmespam.de
dotmsg.com drdrb.com drdrb.net droplar.com dropmail.me dump-email.info dumpandjunk.com dumpmail.de
dumpyemail.com duskmail.com e4ward.com easytrashmail.com edv.to einrot.com einrot.de
email-fake.com email60.com emailage.cf emaildienst.de emailfake.com emailgo.de emailias.com
emailigo.de emailinfive.com emailisvalid.com emaillime.com emailmiser.com emailondeck.com
emailsensei.com emailtemporario.com.br emailthe.net emailtmp.com emailto.de emailwarden.com
emailxfer.com emailz.cf emltmp.com ephemail.net etranquil.com evopo.com explodemail.com
eyepaste.com ezehe.com fake-mail.cf fakedemail.com fakeinbox.com fakeinbox.info
fakeinformation.com fakemail.fr fakemail.net fakemailgenerator.com fakemailz.com fastacura.com
fastchevy.com fastmazda.com fexbox.org fexpost.com filzmail.com fivemail.de fizmail.com
fleckens.hu fr33mail.info frapmail.com friendlymail.co.uk front14.org fudgerub.com fux0ringduh.com
garliclife.com generator.email get1mail.com get2mail.fr getairmail.com getnada.com getonemail.com
getonemail.net girlsundertheinfluence.com gishpuppy.com gmial.com gotmail.net gotmail.org
gowikibooks.com great-host.in grr.la gsrv.co.uk guerrillamail.biz guerrillamail.com
guerrillamail.de guerrillamail.info guerrillamail.net guerrillamail.org guerrillamailblock.com
gustr.com h8s.org haltospam.com harakirimail.com hatespam.org hidemail.de hidemail.pro hidzz.com
hmamail.com hopemail.biz hulapla.de ieh-mail.de ihateyoualot.info ihazspam.ca iheartspam.org
imails.info imgof.com inboxalias.com inboxbear.com inboxclean.com inboxclean.org inboxed.im
inboxed.pw inboxkitten.com inboxproxy.com inboxstore.me incognitomail.com incognitomail.net
incognitomail.org incq.com instant-mail.de instantemailaddress.com ipoo.org irish2me.com
jetable.com jetable.fr.nf jetable.net jetable.org jetable.pp.ua jourrapide.com junk1e.com
junkmail.ga kasmail.com killmail.com killmail.net klassmaster.com klzlk.com kurzepost.de
lifebyfood.com link2mail.net linshiyouxiang.net litedrop.com lookugly.com lroid.com lukop.dk
m4ilweb.info mail-temporaire.com mail-temporaire.fr mail-tester.com mail4trash.com mail7.io
mailbidon.com mailblocks.com mailbox.in.ua mailbox80.biz mailboxy.fun mailbucket.org mailcatch.com
mailde.de mailde.info maildrop.cc maildrop.cf maildrop.ga maildrop.gq maildrop.ml maileater.com
mailed.ro mailexpire.com mailforspam.com mailfreeonline.com mailguard.me mailhazard.com
mailimate.com mailin8r.com mailinater.com mailinator.com mailinator.net mailinator.org
mailinator2.com mailincubator.com mailismagic.com mailme.lv mailme24.com mailmetrash.com
mailmoat.com mailms.com mailna.me mailnator.com mailnesia.com mailnull.com mailorg.org
mailpick.biz mailpoof.com mailproxsy.com mailquack.com mailrock.biz mailsac.com mailscrap.com
mailseal.de mailshell.com mailsiphon.com mailslapping.com mailslite.com mailtemp.info
mailtemporaire.com mailtemporaire.fr mailto.plus mailtothis.com mailtrash.net mailtv.net mailtv.tv
mailzilla.com mailzilla.org meltmail.com mierdamail.com mintemail.com minuteinbox.com moakt.cc
moakt.co moakt.com moakt.ws mobileninja.co.uk moburl.com mohmal.com mohmal.im mohmal.in
mohmal.tech momentics.ru moncourrier.fr.nf monemail.fr.nf monmail.fr.nf mt2009.com mt2014.com
mt2015.com muellmail.com my10minutemail.com mytemp.email mytempemail.com mytempmail.com
mytrashmail.com nada.email nada.ltd nepwk.com nervmich.net nervtmich.net netmails.com netmails.net
netzidiot.de no-spam.ws nobulk.com noclickemail.com nogmailspam.info nomail.pw nomail2me.com
nospam4.us nospamfor.us nospamthanks.info notmailinator.com nowmymail.com nurfuerspam.de nwytg.net
objectmail.com obobbo.com oneoffemail.com onewaymail.com oopi.org ordinaryamerican.net owlpic.com
pancakemail.com pjjkp.com plexolan.de pokemail.net politikerclub.de pookmail.com privymail.de
proxymail.eu prtnx.com punkass.com put2.net quickinbox.com quickmail.nl rcpt.at reallymymail.com
receiveee.com recode.me reliable-mail.com rhyta.com rklips.com rmqkr.net rover.info rppkn.com
rtrtr.com safersignup.de safetymail.info safetypost.de sandelf.de saynotospams.com
selfdestructingmail.com selfdestructingmail.org sendfree.org sendspamhere.com sharklasers.com
shieldedmail.com shiftmail.com shitmail.me shortmail.net skeefmail.com slaskpost.se slopsbox.com
slushmail.com smashmail.de smellfear.com snakemail.com sofimail.com sofort-mail.de sogetthis.com
soodonims.com spam.la spam.su spam4.me spamavert.com spambob.com spambob.net spambob.org
spambog.com spambog.de spambog.ru spambox.info spambox.org spambox.us spamcero.com spamcon.org
spamcorptastic.com spamcowboy.com spamcowboy.net spamcowboy.org spamday.com spamdecoy.net
spamex.com spamfree24.com spamfree24.de spamfree24.eu spamfree24.info spamfree24.net
spamfree24.org spamherelots.com spamhereplease.com spamhole.com spamify.com spamkill.info
spaml.com spaml.de spammotel.com spamobox.com spamslicer.com spamspot.com spamstack.net
spamthis.co.uk spamthisplease.com spamtrail.com spamtroll.net spoofmail.de stuffmail.de
super-auswahl.de supergreatmail.com superrito.com suremail.info tafmail.com tagyourself.com
talkinator.com teleworm.com teleworm.us temp-mail.com temp-mail.de temp-mail.org temp-mail.ru
tempail.com tempemail.biz tempemail.co.za tempemail.com tempemail.net tempinbox.co.uk
tempinbox.com tempmail.de tempmail.it tempmail.plus tempmail.us tempmailer.com tempmailer.de
tempmailo.com tempomail.fr tempomail.org temporarily.de temporarioemail.com.br temporaryemail.net
temporaryemail.us temporaryinbox.com temporarymailaddress.com tempr.email tempsky.com
tempymail.com thankyou2010.com thisisnotmyrealemail.com throam.com throwam.com
throwawayemailaddress.com throwawaymail.com tilien.com tmail.com tmail.ws tmailinator.com
tmails.net tmpbox.net tmpeml.com tmpjr.me tmpmail.net tmpmail.org tradermail.info trash-mail.at
trash-mail.com trash-mail.de trash2009.com trashdevil.com trashdevil.de trashemail.de
trashinbox.com trashmail.at trashmail.com trashmail.de trashmail.io trashmail.me trashmail.net
trashmail.org trashmail.ws trashmailer.com trashymail.com trashymail.net trbvm.com trickmail.net
turual.com twinmail.de tyldd.com uggsrock.com upliftnow.com uroid.com vermutlich.net
veryrealemail.com vidchart.com viditag.com viewcastmedia.com vomoto.com vpn.st vsimcard.com
vubby.com walala.org walkmail.net webm4il.info wegwerf-emails.de wegwerfadresse.de
wegwerfemail.com wegwerfemail.de wegwerfmail.de wegwerfmail.info wegwerfmail.net wegwerfmail.org
wetrainbayarea.com wh4f.org whatpaas.com whyspam.me willhackforfood.biz willselfdestruct.com
winemaven.info wronghead.com wuzup.net wwwnew.eu xagloo.com xemaps.com xents.com xmaily.com yep.it
yogamaven.com yopmail.com yopmail.fr yopmail.gq yopmail.net yuurok.com zehnminuten.de
zehnminutenmail.de zippymail.info zoaxe.com zoemail.org
"""

DISPOSABLE_DOMAINS: Final = frozenset(_DOMAINS.split())
"""Domains; what lies below one of them counts as well."""
